"""Spanish words for the tiny base's pre-training text, so that it has spelled real words and not only invented ones.

None is a product, customer or city of the demonstrations; ``make_tiny_corpus`` drops rows that hold one by chance.
"""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


NOUNS = _words(
    """
    abeto abrigo acequia acordeón águila alambique alba álbum alcoba aldea alero alfiler almena alondra altar ancla
    andén ánfora arado arandela arca arcilla ardilla arena arpa arroyo astilla atril avispa azada azotea baldosa
    ballena balsa barca barco barranca basalto bastón baúl bisagra bisonte boceto bodega bola bosque bóveda brasa
    brida bruma buey búho buque burro caballo cabaña cabra cacto caimán calle cáliz camello campana canoa cántaro
    caracol caravana cardo carreta carta cartel cascada caverna cetro ciervo cigarra cima cincel cisne clarinete
    claustro cobre cocodrilo códice cohete colina collar columna cometa compás concha conejo copa coral corona
    corral corteza cráneo cuadro cuarzo cuenco cuerda cuervo cueva cumbre dado daga danza dátil delfín desierto
    dique diván dragón duende duna ébano eclipse elefante embudo encina enjambre ermita erizo escama escudo esfera
    esmeralda espada espiga espuela estandarte estatua estrella faro fauna fibra flauta flecha fogata fósil fragua
    friso fuelle gacela galeón gallo garra gaviota glaciar grano granito gruta guijarro hacha halcón hebra helecho
    herradura hielo hierba hiedra hocico hoguera hongo hormiga hueso hilera imán incienso isla jabalí jade jaguar
    jarro jinete jirafa junco laguna lámina lanza látigo laúd lazo lechuza leña libélula lienzo lince lirio llama
    lobo loro madera maguey manantial manto mapa marfil máscara mármol medalla medusa mina mirlo molde molino momia
    moneda montaña mono mosaico muelle muralla musgo nácar nave nido nogal nube nudo oboe ocelote ola olmo ópalo
    orca órgano oro oso ostra oveja palma paloma pantano pasto pavo pedestal pelícano peñasco pergamino perla perro
    pez piedra pilar pino piragua pirámide pluma potro pozo pradera prisma puente puma quetzal quilla raíz rama rana
    red reliquia remo retablo rienda rincón risco roca rosal rueda ruina salmón sandalia sapo semilla serpiente
    sierra silbato silo sirena sótano surco tallo tapir tecla telar templo terraza tigre timón tinaja tinta títere
    tórtola torrente tortuga tridente trineo trompeta tronco trueno tumba tucán turbina urna valle vara vasija
    veleta vitral volcán yate yegua yelmo yunque zanja zarza zorro
    """
)
ADJECTIVES = _words(
    """
    ágil agudo amargo ambiguo amplio añejo antiguo áspero astral áureo austero boreal breve brillante bronco calmo
    cálido celeste claro cobrizo colonial común cóncavo convexo crudo curioso dañado débil denso desnudo diurno
    doble dócil dorado dulce duro ecuestre efímero enorme escaso esbelto estéril estrecho exacto extraño fértil
    feroz fino firme flaco fluvial fresco frágil frío fugaz fúnebre gélido gentil gótico grave gris grueso hábil
    hondo hostil hueco húmedo ilustre inerte inmenso insular íntegro joven justo leal leve liso libre ligero lento
    limpio lunar macizo marino mestizo mineral mudo mutuo natural neutro nítido nocturno noble nuevo oblicuo ocre
    opaco oscuro pálido parco pesado pleno polar popular primitivo profundo pueril pulido quieto rápido raro real
    recio remoto rural sagrado salvaje seco sereno silvestre sobrio solemne sonoro suave sutil tenaz tenue terso
    tibio torpe triple triste tropical turbio único urbano vacío valioso vasto veloz verde viejo virgen vivo zurdo
    """
)
FIRST_NAMES = _words(
    """
    Abril Aarón Adela Adán Agustín Aída Alma Amador Amparo Anabel Ángela Aníbal Araceli Ariel Aurora Axel Azucena
    Baltasar Bernardo Blas Brenda Candela Casandra Catalina Cecilia Celia Cipriano Claudia Consuelo Dafne Dalia
    Darío Débora Delia Domingo Dora Eleazar Elías Eloísa Elvira Ema Erika Estela Eugenia Fabián Fabiola Félix
    Fernanda Fidel Flor Florencia Gael Genaro Germán Gisela Graciela Gregorio Guido Herminia Hilda Horacio Ileana
    Irma Isidro Ismael Jacinto Jazmín Jesús Josefina Judith Lázaro Leandro Leonor Lidia Liliana Lino Lourdes Lucas
    Lucrecia Macario Magdalena Maite Marcela Matilde Melchor Mercedes Milagros Mireya Moisés Nadia Narciso Nicolás
    Noé Noemí Octavio Ofelia Orlando Otilia Pascual Paz Pilar Priscila Regina Reinaldo Remedios Rita Rodolfo Román
    Romina Rosario Rosaura Rufino Sabina Salvador Saúl Sebastián Selena Simón Soledad Tadeo Tamara Teodoro Tobías
    Ulises Úrsula Valentín Vanesa Violeta Viviana Wendy Xavier Yahir Zacarías Zoe
    """
)
LAST_NAMES = _words(
    """
    Abarca Abreu Aceves Aguirre Alarcón Alcántara Alfaro Aldama Almaraz Amador Amaya Anaya Andrade Aranda Arce
    Arellano Arévalo Armenta Arroyo Avendaño Avilés Azuela Balderas Banda Barajas Barragán Becerra Bello Bernal
    Bonilla Borja Bustos Caballero Cantú Cárcamo Cedillo Cepeda Cisneros Colín Córdova Corona Covarrubias Crespo
    Cuéllar Dávila Elizondo Enríquez Esparza Esquivel Farías Félix Ferrer Fierro Galindo Gálvez Gaona Garibay
    Godínez Granados Guevara Guzmán Haro Hidalgo Huerta Hurtado Infante Íñiguez Jasso Jaramillo Ledesma Leal Lima
    Lira Llanos Loera Lugo Luján Macías Madrigal Magaña Manzo Mata Melgar Meléndez Mercado Meza Miranda Monroy
    Montiel Murillo Nájera Nava Negrete Nieto Ocampo Ojeda Olivares Oropeza Osorio Páez Parra Partida Paz Pedraza
    Peralta Pineda Pizarro Prado Puga Quezada Quiñones Quiroz Razo Rentería Rincón Robledo Roldán Roque Rosas Rubio
    Saavedra Salas Saldaña Salgado Sandoval Segura Sierra Solano Sosa Sotelo Suárez Talavera Tamayo Tejeda Téllez
    Tello Tenorio Toledo Tovar Uribe Urías Valadez Varela Vélez Venegas Vidal Villegas Yépez
    """
)
PLACES = _words(
    """
    Ámsterdam Antigua Arequipa Asunción Atenas Ávila Badajoz Barcelona Berlín Bilbao Bogotá Bolonia Brasilia
    Bruselas Burgos Cádiz Cajamarca Cali Caracas Cartagena Chillán Cochabamba Concepción Cuenca Cusco Dublín Esmirna
    Florencia Formosa Génova Ginebra Girona Guayaquil Huelva Iquique Iquitos Jaén Jujuy Liubliana Lima Lisboa Loja
    Londres Lugo Lyon Madrid Málaga Managua Maracaibo Medellín Milán Montevideo Moscú Murcia Nápoles Neiva Oporto
    Orense Osorno Oviedo Palermo Pamplona Pasto Piura Popayán Posadas Potosí Praga Quito Ronda Rosario Salamanca
    Salta Santander Segovia Sevilla Soria Sucre Tacna Talca Tarija Teruel Trieste Tucumán Turín Ushuaia Valdivia
    Valparaíso Varsovia Venecia Viena Vigo Zaragoza
    """
)
